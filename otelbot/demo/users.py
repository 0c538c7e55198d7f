"""People who talk to the tea shop: a few at a time, each with habits of its own, and now and then with bad luck.

The same seed gives each of them the same habits, words and misfortunes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from otelbot.demo.bot_api import callback_update, message_update, photo_update

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from otelbot.demo.bot_api import BotApiServer, Call
    from otelbot.demo.telegram import Json

NAMES = ("Mina", "Otto", "Leyla", "Bruno", "Saga", "Ravi")
CITIES = ("Lisbon", "Tallinn", "Shiraz", "Quito", "Osaka")
TEAS = ("sencha", "oolong", "chai", "mint")
PATIENCE = 5.0  # seconds that a user waits for an answer
START = 60.0  # seconds until a bot has started, on a very slow machine
ATTEMPTS = 3  # to confirm an order while the courier is busy


class NoAnswerError(Exception):
    """The bot said nothing, or could not: the user gives up what they were doing."""


class User:
    def __init__(self, api: BotApiServer, token: str, number: int, seed: int) -> None:
        self._api = api
        self._token = token
        self._id = 70_000 + number
        self._name = NAMES[number % len(NAMES)]
        self._chance = random.Random(f"{seed}/{number}")
        self._hurried = True  # the first things are done at once, so that there is something to see

    async def live(self) -> None:
        """Do one thing after another, until cancelled."""
        habits: dict[Callable[[], Awaitable[None]], int] = {
            self.order: 6,
            self.change_mind: 2,
            self.lose_interest: 4,
            self.look_back: 4,
            self.rate: 2,
            self.send_photo: 2,
            self.wonder: 2,
            self.ask_for_report: 1,
            self.crash_it: 1,
            self.be_limited: 1,
            self.have_bad_luck: 2,
        }
        while True:
            (habit,) = self._chance.choices(list(habits), list(habits.values()))
            await self.try_to(habit)
            self._hurried = False
            await self._pause()

    async def try_to(self, habit: Callable[[], Awaitable[None]]) -> None:
        try:
            await habit()
        except NoAnswerError:
            await self._pause()

    async def order(self) -> None:
        await self.say("/start")
        catalog = await self.say("/catalog")
        await self.press(f"buy:{self._chance.choice(TEAS)}", catalog)
        await self.say(str(self._chance.randint(1, 5)))
        question = await self.say(self._chance.choice(CITIES))
        for _ in range(ATTEMPTS):
            answer = await self.press("confirm", question)
            if str(answer.params["text"]).startswith("Order"):
                return

    async def change_mind(self) -> None:
        await self.press(f"buy:{self._chance.choice(TEAS)}", await self.say("/catalog"))
        await self.say("as many as you have")
        await self.say("/cancel")

    async def lose_interest(self) -> None:
        """Begin an order and leave it where it is, at one of its steps."""
        await self.press(f"buy:{self._chance.choice(TEAS)}", await self.say("/catalog"))
        for words in (str(self._chance.randint(1, 5)), self._chance.choice(CITIES)):
            if self._chance.random() < 0.4:
                return
            await self.say(words)

    async def look_back(self) -> None:
        await self.say("/history")

    async def rate(self) -> None:
        """Give stars; some give more than there are, or a word, and get no answer."""
        stars = self._chance.choice(("5", "5", "4", "3", "9", "lovely"))
        if stars in {"9", "lovely"}:
            await self._say_into_silence(f"/rate {stars}")
        else:
            await self.say(f"/rate {stars}")

    async def send_photo(self) -> None:
        if self._chance.random() < 0.2:
            self._api.fail("file", 404, "Not Found", token=self._token)
        file_id = f"cup-{self._id}"
        self._api.add_file(file_id, f"photos/{file_id}.jpg", self._chance.randbytes(20_000))
        await self._hear(photo_update(file_id, user_id=self._id, first_name=self._name))

    async def wonder(self) -> None:
        await self.say("/help")
        await self.say(self._chance.choice(("/discount", "do you have coffee?", "hi")))

    async def ask_for_report(self) -> None:
        await self.say("/report")

    async def crash_it(self) -> None:
        await self._say_into_silence("/crash")

    async def be_limited(self) -> None:
        await self._fail_at_asking(429, "Too Many Requests: retry after 1", retry_after=1)

    async def have_bad_luck(self) -> None:
        """Meet one of Telegram's other refusals, or a broken network."""
        match self._chance.randrange(4):
            case 0:
                await self._fail_at_asking(403, "Forbidden: bot was blocked by the user")
            case 1:
                await self._fail_at_asking(400, "Bad Request: chat not found")
            case 2:
                await self._fail_at_asking(500, "Internal Server Error")
            case _:
                self._api.cut("sendMessage", token=self._token)
                await self.say("/help")

    async def _fail_at_asking(self, status: int, description: str, retry_after: int | None = None) -> None:
        self._api.fail("sendMessage", status, description, retry_after=retry_after, token=self._token)
        await self.say("/help")

    async def say(self, text: str) -> Call:
        """Write to the bot and return the call that answers."""
        return await self._hear(message_update(text, user_id=self._id, first_name=self._name))

    async def _say_into_silence(self, text: str) -> None:
        self._api.push(self._token, message_update(text, user_id=self._id, first_name=self._name))
        await self._pause()

    async def press(self, data: str, below: Call) -> Call:
        """Press a button of the message that `below` sent, and return the call that answers."""
        message_id = below.result["message_id"]
        return await self._hear(callback_update(data, user_id=self._id, message_id=message_id, first_name=self._name))

    async def _hear(self, update: Json) -> Call:
        await self._pause()
        before = len(self._api.calls)
        self._api.push(self._token, update)
        try:
            answer = await self._api.wait_for_call(
                "sendMessage", timeout=PATIENCE, after=before, where=lambda call: call.params.get("chat_id") == self._id
            )
        except TimeoutError:
            raise NoAnswerError from None
        if answer.status != 200:
            raise NoAnswerError
        return answer

    async def _pause(self) -> None:
        await asyncio.sleep(0.03 if self._hurried else self._chance.uniform(0.4, 1.6))


async def live(api: BotApiServer, token: str, *, count: int = 5, seed: int = 7) -> None:
    """Let users talk to the bot until cancelled.

    What there is to see comes first: an order, then a refusal and a crash, then whatever the users like.
    """
    with contextlib.suppress(TimeoutError):
        # The first thing that a starting bot asks.
        await api.wait_for_call("getMe", timeout=START)
    users = [User(api, token, number, seed) for number in range(count)]
    first, second, third, *_ = users
    await first.try_to(first.order)
    await second.try_to(second.be_limited)
    await third.try_to(third.crash_it)
    await asyncio.gather(*(user.live() for user in users))
