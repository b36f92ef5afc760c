"""What the host is made of, in the shape of Moonraker's `machine.system_info`."""

import fcntl
import os
import platform
import socket
import struct
import sys as python
from pathlib import Path
from typing import Any

SIOCGIFADDR = 0x8915
ARPHRD_CAN = "280"


def read(path: Path) -> str:
    """A file's text, empty where there is none to be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def system_info(proc: Path, sys: Path) -> dict[str, Any]:
    """What cannot be found out is empty. Services of the host are not controlled from here: `provider` is none."""
    return {
        "cpu_info": _cpu(proc),
        "sd_info": _card(sys / "block/mmcblk0"),
        "distribution": _distribution(),
        "virtualization": _virtualization(),
        "network": _network(proc, sys),
        "canbus": _canbus(sys),
        "python": {"version": list(python.version_info), "version_string": python.version.replace("\n", " ")},
        "available_services": [],
        "service_state": {},
        "provider": "none",
        "instance_ids": {"moonraker": "moonraker", "klipper": "klipper"},
    }


def _pairs(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            pairs.setdefault(name.strip(), value.strip())
    return pairs


def _cpu(proc: Path) -> dict[str, Any]:
    info = _pairs(read(proc / "cpuinfo"))
    total = _pairs(read(proc / "meminfo")).get("MemTotal", "").split()
    return {
        "cpu_count": os.cpu_count(),
        "bits": f"{struct.calcsize('P') * 8}bit",
        "processor": platform.machine(),
        "cpu_desc": info.get("model name", ""),
        "serial_number": info.get("Serial", ""),
        "hardware_desc": info.get("Hardware", ""),
        "model": info.get("Model", "") or read(proc / "device-tree/model").strip("\0\n"),
        "total_memory": int(total[0]) if total and total[0].isdecimal() else None,
        "memory_units": total[1] if len(total) > 1 else "kB",
    }


def _card(block: Path) -> dict[str, Any]:
    device = block / "device"
    if read(device / "type").strip() != "SD":
        return {}
    sectors = read(block / "size").strip()
    size = int(sectors) * 512 if sectors.isdecimal() else 0
    return {
        "manufacturer_id": read(device / "manfid").strip().removeprefix("0x"),
        "manufacturer": "Unknown",
        "oem_id": read(device / "oemid").strip().removeprefix("0x"),
        "product_name": read(device / "name").strip(),
        "product_revision": read(device / "hwrev").strip().removeprefix("0x"),
        "serial_number": read(device / "serial").strip().removeprefix("0x"),
        "manufacturer_date": read(device / "date").strip(),
        "capacity": f"{size / (1 << 30):.1f} GiB",
        "total_bytes": size,
    }


def _distribution() -> dict[str, Any]:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        release = {}
    version = release.get("VERSION_ID", "")
    major, _, rest = version.partition(".")
    minor, _, build = rest.partition(".")
    return {
        "name": release.get("PRETTY_NAME", release.get("NAME", "")),
        "id": release.get("ID", ""),
        "version": version,
        "version_parts": {"major": major, "minor": minor, "build_number": build},
        "like": release.get("ID_LIKE", ""),
        "codename": release.get("VERSION_CODENAME", ""),
        "release_info": {},
        "kernel_version": platform.release(),
    }


def _virtualization() -> dict[str, str]:
    container = "docker" if Path("/.dockerenv").exists() else read(Path("/run/systemd/container")).strip()
    if container:
        return {"virt_type": "container", "virt_identifier": container}
    return {"virt_type": "none", "virt_identifier": "none"}


def _network(proc: Path, sys: Path) -> dict[str, Any]:
    """Interfaces with an address, without loopback: {name: {mac_address, ip_addresses: [{family, address, is_link_local}]}}"""
    found: dict[str, Any] = {}
    ipv6 = _ipv6_addresses(proc)
    for name in sorted(_names(sys / "class/net")):
        addresses = _ipv4_address(name) + ipv6.get(name, [])
        if addresses and name != "lo":
            mac = read(sys / "class/net" / name / "address").strip()
            found[name] = {"mac_address": mac, "ip_addresses": addresses}
    return found


def _ipv4_address(interface: str) -> list[dict[str, Any]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:
            return []
    address = socket.inet_ntoa(answer[20:24])
    return [{"family": "ipv4", "address": address, "is_link_local": address.startswith("169.254.")}]


def _ipv6_addresses(proc: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in read(proc / "net/if_inet6").splitlines():
        columns = line.split()
        if len(columns) == 6 and len(columns[0]) == 32:
            address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(columns[0]))
            entry = {"family": "ipv6", "address": address, "is_link_local": address.startswith("fe80:")}
            found.setdefault(columns[5], []).append(entry)
    return found


def _canbus(sys: Path) -> dict[str, Any]:
    """{name: {tx_queue_len, bitrate, driver}}; the kernel tells the bitrate over netlink only, so it is null."""
    found: dict[str, Any] = {}
    for name in sorted(_names(sys / "class/net")):
        interface = sys / "class/net" / name
        if read(interface / "type").strip() == ARPHRD_CAN:
            queue = read(interface / "tx_queue_len").strip()
            found[name] = {"tx_queue_len": int(queue) if queue.isdecimal() else None, "bitrate": None,
                           "driver": (interface / "device/driver").resolve().name}  # fmt: skip
    return found


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
