"""A program that reaches BoltQ over HTTP only: it has neither the store nor the code of the tasks.

In one terminal:  boltq dev http_client:app
In another:       python http_client.py
"""

import asyncio

from boltq import BoltQ, DataError, JobFailed, Workflow
from boltq.client import AsyncClient, Client

app = BoltQ()  # for the worker; what follows does not use it


@app.task
async def price(item: str, pieces: int = 1) -> int:
    """What some pieces of an item cost."""
    prices = {"apple": 3, "pear": 4}
    if item not in prices:
        raise DataError(f"there are no {item}s")
    return prices[item] * pieces


def main():
    with Client() as client:  # BOLTQ_URL, or port 8080 of this machine
        job = client.submit("price", {"item": "apple", "pieces": 5}, tags=["shop"])
        print("5 apples:", job.result(timeout=30))

        jobs = client.submit_many([client.job_of("price", {"item": "pear", "pieces": n}) for n in range(1, 4)])
        print("1, 2 and 3 pears:", [job.result(timeout=30) for job in jobs])

        failed = client.submit("price", {"item": "plum"}, priority="high")
        try:
            failed.result(timeout=30)
        except JobFailed as error:
            print("a plum:", error.error and error.error.message)
        again = client.job(failed.replay(data={"item": "apple"}).id)
        print("an apple instead:", again.result(timeout=30))

        wf = Workflow("basket")
        costs = [wf.step("price", item=item, pieces=2) for item in ("apple", "pear")]
        wf.output({"apples": costs[0].result, "pears": costs[1].result})
        print("a basket:", client.submit_workflow(wf).result(timeout=30))

        later = client.submit("price", {"item": "apple"}, delay=3600)
        print("later:", later.info().state.value, "then", later.cancel("not needed").state.value)
        print("tagged:", [found.type for found in client.jobs(state="completed", tag="shop")])
    asyncio.run(the_same_without_blocking())


async def the_same_without_blocking():
    async with AsyncClient() as client:
        jobs = [await client.submit("price", {"item": "apple", "pieces": n}) for n in range(10)]
        print("ten orders:", sum(await asyncio.gather(*(job.result(timeout=30) for job in jobs))))


if __name__ == "__main__":
    main()
