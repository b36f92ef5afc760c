"""The gateway as a process: `python -m services.gateway`."""

from bus.node import Node
from bus.process import main
from services.gateway.gateway import Gateway


async def start(node: Node) -> None:
    await Gateway(node).start()


if __name__ == "__main__":
    main({"gateway": start})
