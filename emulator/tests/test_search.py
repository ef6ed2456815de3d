"""
Search. [DOC] docs.stripe.com/search: the query language, the fields of each resource, freshness;
docs.stripe.com/api/pagination/search: pages.
"""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from emulator.tests.shop import Shop
from stripe_emulator import Emulator, Settings


def names(shop: Shop, query: str, **more: Any) -> list[str | None]:
    sent: Any = {"query": query, **more}
    return [customer.name for customer in shop.api.customers.search(sent).data]


@pytest.fixture
def people(shop: Shop) -> Shop:
    """Three customers."""
    customers: list[Any] = [
        {"name": "Amy Adams", "email": "amy@rocketrides.io", "metadata": {"plan": "pro", "seats": "3"}},
        {"name": "Bob Adams Brown", "email": "bob@rocketrides.io", "metadata": {"plan": "free"}},
        {"name": "Cleo", "phone": "+19999999999"},
    ]
    for customer in customers:
        shop.api.customers.create(customer)
    return shop


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('email:"amy@rocketrides.io"', ["Amy Adams"]),
        ("email:'AMY@rocketrides.io'", ["Amy Adams"]),
        ('email:"rocketrides"', []),
        ('email~"rocket"', ["Bob Adams Brown", "Amy Adams"]),
        ('name:"adams"', ["Bob Adams Brown", "Amy Adams"]),
        ('name:"adams brown"', ["Bob Adams Brown"]),
        ('name:"bob brown"', []),
        ('phone:"+19999999999"', ["Cleo"]),
        ("email:null", ["Cleo"]),
        ("-email:NULL", ["Bob Adams Brown", "Amy Adams"]),
        ('-email:"amy@rocketrides.io"', ["Cleo", "Bob Adams Brown"]),
        ('metadata["plan"]:"PRO"', ["Amy Adams"]),
        ("metadata['plan']:'free'", ["Bob Adams Brown"]),
        ('-metadata["plan"]:null', ["Bob Adams Brown", "Amy Adams"]),
        ('metadata["plan"]:null', ["Cleo"]),
        ('metadata["seats"]:3', ["Amy Adams"]),
        ('email~"rocket" metadata["plan"]:"pro"', ["Amy Adams"]),
        ('email~"rocket" AND -name:"amy"', ["Bob Adams Brown"]),
        ('name:"cleo" or name:"amy"', ["Cleo", "Amy Adams"]),
        ("created>0 created<=99999999999", ["Cleo", "Bob Adams Brown", "Amy Adams"]),
        ('created>="99999999999"', []),
    ],
)
def test_a_query_finds(people: Shop, query: str, expected: list[str]) -> None:
    """docs.stripe.com/search#search-syntax"""
    assert names(people, query) == expected


def test_quotes_are_escaped_by_a_backslash(shop: Shop) -> None:
    shop.api.products.create({"name": "Book", "description": 'the story called "The Sky and the Sea."'})
    found = shop.api.products.search({"query": r'description:"the story called \"The Sky and the Sea.\""'}).data
    assert [product.name for product in found] == ["Book"]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "asdf",
        "email:jenny@example.com",
        'email="jenny@example.com"',
        'email:"a" name:"b" OR name:"c"',
        'email:"a" AND name:"b" OR name:"c"',
        'email:"a" AND',
        'email:"a"name:"b"',
        'email:"a',
        'metadata:"a"',
        'name["a"]:"b"',
        "created>null",
        '(email:"a")',
    ],
)
def test_what_is_no_query_is_refused(shop: Shop, query: str) -> None:
    with pytest.raises(stripe.InvalidRequestError) as caught:
        names(shop, query)
    assert "We were unable to parse your search query." in str(caught.value) or query == ""
    assert caught.value.param == "query"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ('foo:"bar"', "Field `foo` is an unsupported search field for resource `customers`."),
        ('balance:"1"', "unsupported search field"),
        ('name>"amy"', "`>` can't be used on a string field"),
        ('created~"123"', "`~` can't be used on a numeric field"),
        ('metadata["plan"]~"pro"', "`~` can't be used on a token field"),
        ('name~"am"', "at least 3 characters"),
        ('created>"soon"', "must be a number"),
    ],
)
def test_what_a_field_does_not_allow_is_refused(shop: Shop, query: str, words: str) -> None:
    """docs.stripe.com/search: an unsupported operator returns an error; substrings have at least three characters."""
    with pytest.raises(stripe.InvalidRequestError) as caught:
        names(shop, query)
    assert words in str(caught.value)
    assert (caught.value.http_status, caught.value.param) == (400, "query")


def test_a_page_at_a_time_and_how_many_there_are(shop: Shop) -> None:
    for number in range(5):
        shop.api.customers.create({"name": str(number), "metadata": {"of": "five"}})
    query = 'metadata["of"]:"five"'
    first = shop.api.customers.search({"query": query, "limit": 2, "expand": ["total_count"]})
    assert ([one.name for one in first.data], first.has_more) == (["4", "3"], True)
    assert _raw(first)["total_count"] == 5
    second = shop.api.customers.search({"query": query, "limit": 2, "page": first.next_page})
    assert [one.name for one in second.data] == ["2", "1"]
    last = shop.api.customers.search({"query": query, "limit": 2, "page": second.next_page})
    assert ([one.name for one in last.data], last.has_more) == (["0"], False)
    assert _raw(last)["next_page"] is None
    assert "total_count" not in _raw(last)
    assert len(list(shop.api.customers.search({"query": query, "limit": 2}).auto_paging_iter())) == 5
    assert (_raw(first)["object"], _raw(first)["url"]) == ("search_result", "/v1/customers/search")


def _raw(found: stripe.SearchResultObject[Any]) -> dict[str, Any]:
    return found.to_dict()


def test_a_page_belongs_to_its_query(people: Shop) -> None:
    page = people.api.customers.search({"query": "created>0", "limit": 1}).next_page
    for wrong in ({"query": "created>1", "page": page}, {"query": "created>0", "page": "nonsense"}):
        with pytest.raises(stripe.InvalidRequestError) as caught:
            people.api.customers.search(wrong)  # type: ignore[arg-type]  # a dictionary in a loop
        assert caught.value.param == "page"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        people.api.customers.search({"query": "created>0", "limit": 101})
    assert caught.value.param == "limit"


def test_what_is_found_expands(shop: Shop) -> None:
    customer = shop.customer()
    shop.subscribe(customer.id, shop.price().id)
    found = shop.api.subscriptions.search({"query": 'status:"active"', "expand": ["data.customer"]}).data[0]
    assert isinstance(found.customer, stripe.Customer)


def test_every_resource_is_searched_by_its_fields(shop: Shop) -> None:
    """docs.stripe.com/search#supported-query-fields-for-each-resource"""
    customer, price = shop.customer(), shop.price(2500)
    subscription = shop.subscribe(customer.id, price.id, metadata={"team": "7"})
    api = shop.api
    invoice = api.invoices.list().data[0]
    of_customer = f'customer:"{customer.id}"'

    def ids(service: Any, query: str) -> list[str]:
        return [found.id for found in service.search({"query": query}).data]

    assert ids(api.subscriptions, 'status:"active" metadata["team"]:7') == [subscription.id]
    assert ids(api.subscriptions, 'status:"canceled"') == []
    assert ids(api.invoices, f'subscription:"{subscription.id}" AND total>=2500 AND status:"paid"') == [invoice.id]
    assert ids(api.invoices, f'number:"{invoice.number}" {of_customer}') == [invoice.id]
    assert ids(api.invoices, "total>2500") == []
    assert ids(api.prices, f'product:"{price.product}" active:"true" type:"recurring"') == [price.id]
    assert ids(api.products, 'name~"Pro" active:"true"') == [price.product]
    charge = api.charges.list().data[0]
    assert ids(api.charges, 'payment_method_details.card.last4:4242 AND currency:"USD"') == [charge.id]
    assert ids(api.charges, f'{of_customer} disputed:"false" amount:2500') == [charge.id]
    assert ids(api.payment_intents, f'{of_customer} status:"succeeded" -currency:"eur"') == [charge.payment_intent]


def test_refunded_tells_full_partial_and_none_apart(shop: Shop) -> None:
    """docs.stripe.com/search#query-fields-for-charges"""
    shop.subscribe(shop.customer().id, shop.price(2500).id)
    charge = shop.api.charges.list().data[0].id

    def found(query: str) -> bool:
        return [one.id for one in shop.api.charges.search({"query": query}).data] == [charge]

    assert found("refunded:null")
    shop.api.refunds.create({"charge": charge, "amount": 1000})
    assert found('refunded:"false"')
    shop.api.refunds.create({"charge": charge})
    assert found('refunded:"true"')
    assert not found("refunded:null")


def test_what_is_deleted_is_not_found(people: Shop) -> None:
    people.api.customers.delete(people.api.customers.list({"email": "amy@rocketrides.io"}).data[0].id)
    assert names(people, 'name~"amy"') == []


def test_what_lives_on_a_test_clock_is_found_by_whose_it_is(shop: Shop) -> None:
    """docs.stripe.com/search#limitations: objects of test clocks are left out of what is asked of everybody."""
    clock = shop.api.test_helpers.test_clocks.create({"frozen_time": 1_800_000_000})
    customer = shop.customer(clock=clock.id)
    shop.subscribe(customer.id, shop.price().id)
    assert shop.api.invoices.search({"query": "total>0"}).data == []
    assert len(shop.api.invoices.search({"query": f'customer:"{customer.id}"'}).data) == 1


def test_by_default_it_sees_what_was_just_written(shop: Shop) -> None:
    shop.api.customers.create({"name": "Jenny"})
    assert names(shop, 'name:"Jenny"') == ["Jenny"]


def test_it_may_lag_behind_what_was_written(shop: Shop, emulator: Emulator) -> None:
    """docs.stripe.com/search#data-freshness: not for read-after-write flows; searchable in under a minute."""
    before = shop.api.customers.create({"name": "Old"})
    emulator.configure(search_lag=60)
    made = shop.api.customers.create({"name": "Jenny"})
    shop.api.customers.update(before.id, {"name": "New"})
    assert (names(shop, 'name:"Jenny"'), names(shop, 'name:"New"')) == ([], [])
    assert names(shop, 'name:"Old"') == ["New"]
    assert shop.api.customers.list().data[0].id == made.id
    emulator.advance(seconds=61)
    assert (names(shop, 'name:"Jenny"'), names(shop, 'name:"New"'), names(shop, 'name:"Old"')) == (
        ["Jenny"],
        ["New"],
        [],
    )
    emulator.reset()
    shop.api.customers.create({"name": "Jenny"})
    assert names(shop, 'name:"Jenny"') == ["Jenny"]


def test_another_setting_does_not_make_up_the_lag(shop: Shop, emulator: Emulator) -> None:
    emulator.configure(search_lag=60)
    shop.api.customers.create({"name": "Jenny"})
    emulator.configure(wait_for_webhooks=True)
    assert names(shop, 'name:"Jenny"') == []


def test_a_lag_may_be_there_from_the_start() -> None:
    with Emulator(settings=Settings(search_lag=30)) as emulator:
        shop = Shop(emulator)
        shop.api.customers.create({"name": "Jenny"})
        assert names(shop, 'name:"Jenny"') == []
        emulator.advance(seconds=31)
        assert names(shop, 'name:"Jenny"') == ["Jenny"]
        shop.pages.close()
