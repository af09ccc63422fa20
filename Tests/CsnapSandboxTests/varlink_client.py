"""Drives csnap's control socket with the library `varlink` of PyPI. Usage: varlink_client.py SOCKET"""

import sys

import varlink

client = varlink.Client.new_with_address("unix:" + sys.argv[1])
assert "io.csnap.Agent" in client.get_interfaces(), client.get_interfaces()

with client.open("io.csnap.Agent", namespaced=True) as agent:
    status = agent.GetStatus().status
    assert status.node == 1 and status.cluster == "lone", status
    assert [wait.kind for wait in agent.Why().waits] == ["notInGroup"], agent.Why()

    try:
        agent.Transfer(2)
        raise SystemExit("a transfer without a group was done")
    except varlink.VarlinkError as error:
        assert error.error() == "io.csnap.Agent.Refused", error
        assert error.parameters(namespaced=True).code == "notFounded", error

    agent.Found()
    assert agent.GetStatus().status.clusterUUID
    assert agent.GetMembers().members[0].node == 1
    assert "csnap_epoch" in agent.GetMetrics().text

with client.open("io.csnap.Agent", namespaced=True) as follower:
    cursor = 0
    kinds = []
    for answer in follower.Events(since=0, follow=True, _more=True):
        for event in answer.events:
            assert event.cursor > cursor, (event, cursor)
            cursor = event.cursor
            kinds.append(event.kind)
        if "founded" in kinds:
            break

print("all is well")
