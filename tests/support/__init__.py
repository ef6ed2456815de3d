"""What the tests stand on: databases, browser, servers, plans, waiting."""
