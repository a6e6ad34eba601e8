"""A workflow with a map and a person: price each order, and pay only what somebody approves.

In one terminal:  boltq dev approval:app
In another:       python approval.py
"""

import asyncio

from boltq import BoltQ, DataError, Workflow, WorkflowFailed, item

app = BoltQ()

PRICES = {"apple": 3, "pear": 4}


@app.task
async def price(order: str) -> int:
    """Fails for what has no price."""
    if order not in PRICES:
        raise DataError(f"there is no price for a {order}")
    return PRICES[order]


@app.task
async def total(prices: list[int | None]) -> int:
    """What did not succeed is None."""
    return sum(price or 0 for price in prices)


@app.task
async def pay(amount: int, approved_by: str) -> str:
    """Only when somebody has said yes."""
    return f"paid {amount}, which {approved_by} approved"


def invoices(orders):
    """The workflow: one job for each order, at most two at a time; one of them may fail."""
    flow = Workflow("invoices", orders=orders)
    prices = flow.map(flow.input["orders"], max_concurrency=2, tolerated_failures=1).step(price, order=item)
    amount = flow.step(total, prices=prices.result)
    asked = flow.options(id="ask").approval(f"Pay {amount.result}?", timeout=86_400)
    paid = flow.options(when=amount.result > 0).step(pay, amount=amount.result, approved_by=asked.result["by"])
    flow.output({"text": paid.result, "failed": prices.stats["failed"]})
    return flow


async def asks(run):
    """What it asks, as soon as it does; a person would see it in a list, or by `boltq workflow show`."""
    while (prompt := (await run.record()).step("ask").prompt) is None:  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(0.05)
    return prompt


async def main():
    async with app:
        run = await app.submit_workflow(invoices(["apple", "pear", "plum", "apple"]))
        print(await asks(run))
        print(await run.signal("ask", "approve", by="Ann"))
        print(await run.result(timeout=60))

        run = await app.submit_workflow(invoices(["pear"]))
        await run.signal("ask", "reject", by="Bob")  # before it asks: the answer is kept
        try:
            await run.result(timeout=60)
        except WorkflowFailed as failed:
            print(f"{failed.step}: {failed.error and failed.error.message}")


if __name__ == "__main__":
    asyncio.run(main())
