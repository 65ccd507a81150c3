"""A server that holds deliveries accepts, shows and cancels them; the next start without holding sends the rest."""

from pathlib import Path

from api_server import Receiver, expect, listening, running_api


async def test_held_deliveries_are_not_sent_until_the_server_stops_holding(tmp_path: Path) -> None:
    receiver = Receiver()
    async with listening(receiver) as place:
        async with running_api(tmp_path, hold_deliveries=True) as api:
            await api.endpoint(url=f"http://{place.host}:{place.port}/hook")
            unwanted, wanted = await api.publish(OrderNo="unwanted"), await api.publish(OrderNo="wanted")
            expect(await api.admin.get("/readyz"), 200)
            waiting = {each["event_id"]: each for each in await api.deliveries()}
            assert {(each["state"], each["attempt_count"]) for each in waiting.values()} == {("pending", 0)}
            [reason] = expect(await api.admin.get(f"/v1/events/{wanted['id']}/explain"), 200)["endpoints"]
            assert reason["held"] == "this server holds all deliveries"
            expect(await api.admin.post(f"/v1/deliveries/{waiting[unwanted['id']]['id']}/cancel"), 200)
        assert receiver.arrived == []

        async with running_api(tmp_path) as api:
            await api.until_state("delivered", event_id=wanted["id"])
        assert [arrival.headers["webhook-id"] for arrival in receiver.arrived] == [wanted["id"]]
