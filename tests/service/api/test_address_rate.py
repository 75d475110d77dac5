"""What is open to everybody can be asked only so often by one address."""

from fastapi.testclient import TestClient

from service.api.address_rate import AddressRate


def test_a_bucket_holds_a_burst_and_is_refilled_evenly() -> None:
    rate = AddressRate(per_second=2, burst=3)
    assert [rate.take("a", 100.0) for _ in range(5)] == [0, 0, 0, 0.5, 0.5]
    assert rate.take("b", 100.0) == 0
    assert rate.take("a", 100.5) == 0
    assert rate.take("a", 100.5) == 0.5
    assert [rate.take("a", 200.0) for _ in range(4)] == [0, 0, 0, 0.5]


def test_the_memory_of_addresses_is_bounded() -> None:
    rate = AddressRate()
    for number in range(10_000):
        rate.take(f"address {number}", 1.0)
    assert len(rate._full) == 4096


def test_readiness_and_metrics_are_limited_and_life_is_not(http: TestClient) -> None:
    http.app.state.address_rate = AddressRate(per_second=0.001, burst=2)  # type: ignore[attr-defined]
    statuses = [http.get(path).status_code for path in ("/readyz", "/metrics", "/readyz", "/metrics", "/healthz")]
    assert statuses == [200, 200, 429, 429, 200]
    assert int(http.get("/readyz").headers["Retry-After"]) > 100
