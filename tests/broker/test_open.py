import pytest
from msgspec.structs import replace

from boltq.broker.broker import Broker
from boltq.broker.knobs import DEFAULT_KNOBS


async def test_the_first_process_decides_on_the_partitions(valkey: str, namespace: str) -> None:
    async with Broker(valkey, namespace=namespace, partitions=3) as first:
        assert first.layout.partitions == 3
        async with Broker(valkey, namespace=namespace, partitions=8) as second:
            assert second.layout.partitions == 3


async def test_the_last_process_decides_on_the_rest(valkey: str, namespace: str) -> None:
    for limit in (3, 7):
        async with Broker(
            valkey, namespace=namespace, partitions=2, knobs=replace(DEFAULT_KNOBS, poison_limit=limit)
        ) as broker:
            for partition in range(2):
                stored = await broker.redis.hget(f"{broker.layout.prefix(partition)}partition", "poison_limit")
                assert stored == str(limit).encode()


@pytest.mark.parametrize(("namespace", "partitions"), [("a{b", 1), ("a b", 1), ("", 1), ("a", 0), ("a", 1_025)])
def test_what_cannot_be_a_namespace(namespace: str, partitions: int) -> None:
    with pytest.raises(ValueError, match=r"partitions|not a name"):
        Broker("unix:///nowhere", namespace=namespace, partitions=partitions)
