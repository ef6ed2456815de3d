"""
In step with the whole account: everything compared both ways and mended, missed events filled in, customers taken in.

| module | what |
|---|---|
| `reconciler` | begins a run, or goes on with one, under a lease of its own |
| `run` | takes it to its end, page by page |
| `page_sorting` | which of a page are suspects, and which are nobody's customers |
| `comparison` | a suspect fetched once more, to be sure |
| `mending` | a difference synchronised, as an event would have it |
| `adoption` | customers nobody knows become their owners' |
| `missed` | the events that never came |
"""
