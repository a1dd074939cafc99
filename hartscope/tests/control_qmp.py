"""A session by the qemu.qmp package: python3 control_qmp.py SOCKET PLUGIN"""

import asyncio
import sys

from qemu.qmp import EventListener, ExecuteError, QMPClient


async def main(socket, plugin):
    client = QMPClient("test")
    gone = EventListener(names={"PLUGIN_DETACHED"})
    stopped = EventListener(names={"STOP", "RESUME"})
    client.register_listener(gone)
    client.register_listener(stopped)
    await client.connect(socket)
    assert await client.execute("query-status") == {"status": "running", "running": True}
    await client.execute("stop")
    await client.execute("cont")
    names = [(await stopped.get())["event"] for _ in range(2)]
    assert names == ["STOP", "RESUME"], names
    for _ in range(3):
        arguments = {"file": plugin, "args": ["at=0"]}
        plugin_id = (await client.execute("plugin-attach", arguments))["id"]
        plugins = await client.execute("query-plugins")
        assert [one["id"] for one in plugins] == [plugin_id], plugins
        await client.execute("plugin-detach", {"id": plugin_id})
        assert (await gone.get())["data"]["id"] == plugin_id
    try:
        await client.execute("plugin-detach", {"id": 99})
        raise AssertionError("there is no such plugin")
    except ExecuteError as error:
        assert error.error_class == "DeviceNotFound", error
    await client.execute("quit")
    await client.disconnect()
    print("done")


asyncio.run(main(*sys.argv[1:]))
