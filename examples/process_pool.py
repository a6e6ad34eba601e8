"""Heavy computation in processes of their own: it holds up nobody, and can be killed when it takes too long.

In one terminal:  boltq dev process_pool:app
In another:       python process_pool.py
"""

from boltq import BoltQ, JobFailed

app = BoltQ()


@app.task(executor="process")
def count_primes(below: int) -> int:
    """Pure Python that would hold the interpreter lock."""
    sieve = bytearray([1]) * below
    sieve[:2] = b"\0\0"
    for n in range(2, int(below**0.5) + 1):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, below, n)))
    return sum(sieve)


@app.task(executor="process", timeout=0.5, max_attempts=1)
def spin() -> None:
    """Never ends by itself. Its process is killed at the timeout, and the slot is free again."""
    while True:
        pass


def main():
    print("primes below 100,000:", count_primes.submit_sync(below=100_000).result_sync(timeout=60))
    try:
        spin.submit_sync().result_sync(timeout=60)
    except JobFailed as failed:
        print("spin:", failed.error and failed.error.category.value)


if __name__ == "__main__":
    main()
