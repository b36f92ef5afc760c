"""The process: configuration in, the bridge and its handlers on the bus."""

from pathlib import Path

from bus.config import ConfigError
from bus.journal import Journal
from bus.node import Node
from bus.process import main
from bus.secrets import Secrets
from bus.services import SERVICES
from services.klipper_bridge.bridge import Bridge
from services.klipper_bridge.memory import Memory
from services.klipper_bridge.requests import Requests

DEFAULT_ADDRESS = "/tmp/klippy_uds"
COMPONENTS = ["klippy_connection", "klippy_apis"]


async def start(node: Node) -> None:
    path, warnings = klippy_address(node)
    for warning in warnings:
        node.log.warning("%s", warning)
    node.publish("klipper_bridge.component", {"components": COMPONENTS, "failed": [], "warnings": warnings})
    node.journal = Journal(node.data / "moonbus" / "klipper_bridge.sqlite")
    node.stack.callback(node.journal.connection.close)
    bridge = Bridge(node, path, Memory(node.journal))
    node.mirror("printer.objects", bridge.full_copy)
    node.serve(Requests(bridge.ask).handlers())
    for service in SERVICES:
        node.subscribe(f"{service}.wants", bridge.hear_wants)
    node.spawn(bridge.run())


def klippy_address(node: Node) -> tuple[Path, list[str]]:
    """Where Klipper's API socket is, and what is wrong with what the configuration says of it."""
    section = node.config.section("server")
    text = str(section.string("klippy_uds_address", DEFAULT_ADDRESS))
    if "{" not in text:
        return Path(text).expanduser(), []
    # Jinja2 is imported only by those who use templates.
    from bus.templates import TemplateError, render

    try:
        shown = render(text, Secrets(node.data).values, {"data_path": str(node.data)})
    except TemplateError as error:
        wrong: ConfigError = section.error("klippy_uds_address", f"{error}; {DEFAULT_ADDRESS} is used")
        return Path(DEFAULT_ADDRESS), [str(wrong)]
    return Path(shown.strip()).expanduser(), []


if __name__ == "__main__":
    main({"klipper_bridge": start})
