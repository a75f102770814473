from trunx.adapters.database import Database


async def test_state(database: Database) -> None:
    print(await database.state())
    assert (await database.state()).state == "ok"


async def test_ac(account: str) -> None:
    print(account)
