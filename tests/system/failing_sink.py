"""A push sink whose paths fail: /refused answers 500, /cut nothing. `python -m tests.system.failing_sink --port N`"""

import argparse
import asyncio

from simulators.push_sink import PushSink


async def serve(port: int) -> None:
    sink = PushSink(port=port)
    sink.modes.update({"/refused": "error", "/cut": "cut"})
    await sink.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
