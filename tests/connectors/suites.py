"""What a client must do by its capabilities, beside what every client must: sending, and subscriptions."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from platform_cli.local.scenarios import Drop
from platform_core.connectors import Capability
from platform_core.errors import (
    AmbiguousOutcome,
    ContractDrift,
    NeedsReconciliation,
    PermanentRefusal,
    SecretRejected,
)
from platform_core.messaging.contracts import TemplateMessage, TextMessage
from tests.connectors.conformance import ClientConformance, told
from tests.connectors.subjects import CALLBACK, MESSAGE, PHONE, PNG, TEMPLATE


class SendingConformance(ClientConformance):
    """The suite of connectors that send messages and fetch attachments."""

    covers: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.SEND_TEXT, Capability.SEND_TEMPLATE, Capability.FETCH_MEDIA}
    )

    @pytest.mark.parametrize("message", [MESSAGE, TEMPLATE], ids=["text", "template"])
    def test_a_send_is_accepted_once_under_our_id(
        self, provider: Any, client: Any, message: TextMessage | TemplateMessage
    ) -> None:
        """One request; the provider's ids and the request id come back."""
        provider.add_template(TEMPLATE.name, TEMPLATE.language)

        accepted = client.send(message, external_id="outbox-7")

        (stored,) = provider.messages_with("outbox-7")
        assert accepted.provider_message_id == stored["id"]
        assert accepted.request_id
        assert len(provider.requests) == 1

    def test_a_download_stops_at_the_size_limit(self, provider: Any, client: Any) -> None:
        """One byte more is refused; exactly the limit is not."""
        link = provider.add_media(PNG, "image/png")

        assert client.fetch_media(link, max_bytes=len(PNG)).content == PNG
        with pytest.raises(PermanentRefusal):
            client.fetch_media(link, max_bytes=len(PNG) - 1)

    def test_no_link_is_in_what_a_refused_download_says(self, provider: Any, client: Any) -> None:
        """A link opens the attachment for a while."""
        link = provider.add_media(PNG, "image/png")
        shown = told(lambda: client.fetch_media(link + "#", max_bytes=1))
        shown += told(lambda: client.fetch_media("https://elsewhere.example/" + PHONE, max_bytes=1))

        assert [text for text in (link, link.partition("?")[2], PHONE[1:]) if text in shown] == []


class SubscriptionConformance(ClientConformance):
    """The suite of connectors that say where webhooks go."""

    covers: ClassVar[frozenset[Capability]] = frozenset({Capability.MANAGE_SUBSCRIPTIONS})

    def test_a_subscription_that_was_made_is_listed_and_signs_with_our_key(
        self, provider: Any, client: Any
    ) -> None:
        """What is delivered then verifies with the key it was made with."""
        key = self.subject.receiving.secret

        made = client.create_subscription(CALLBACK, signing_key=key)

        assert (made.url, made.is_active, made.failing_since) == (CALLBACK, True, None)
        assert list(client.list_subscriptions()) == [made]
        assert [one.signing_key for one in provider.subscriptions] == [key]

    @pytest.mark.parametrize("key", ["", "   ", "short", "your-webhook-secret-goes-here-0000"])
    def test_no_subscription_is_made_without_a_usable_key(self, provider: Any, client: Any, key: str) -> None:
        """What it delivers could be anybody's; nothing is sent to the provider."""
        with pytest.raises(SecretRejected):
            client.create_subscription(CALLBACK, signing_key=key)

        assert not provider.requests

    @pytest.mark.parametrize("url", ["", "calls", "ftp://127.0.0.1/x", "http://user:not-a-real@127.0.0.1/x"])
    def test_no_subscription_is_made_for_what_is_no_callback(
        self, provider: Any, client: Any, url: str
    ) -> None:
        """It is refused before anything is sent."""
        with pytest.raises(PermanentRefusal):
            client.create_subscription(url, signing_key=self.subject.receiving.secret)

        assert not provider.requests

    def test_a_second_one_for_the_same_url_needs_reconciliation(self, provider: Any, client: Any) -> None:
        """Whoever asked twice at once finds one."""
        key = self.subject.receiving.secret
        client.create_subscription(CALLBACK, signing_key=key)

        with pytest.raises(NeedsReconciliation):
            client.create_subscription(CALLBACK, signing_key=key)

        assert len(provider.subscriptions) == 1

    def test_deleting_twice_is_no_failure(self, provider: Any, client: Any) -> None:
        """The second time it was gone."""
        made = client.create_subscription(CALLBACK, signing_key=self.subject.receiving.secret)

        assert [client.delete_subscription(made.id), client.delete_subscription(made.id)] == [True, False]
        assert not provider.subscriptions

    def test_a_deletion_without_a_clear_answer_is_ambiguous(self, provider: Any, client: Any) -> None:
        """It is one request; deleting again is harmless, and for the caller to decide."""
        self.calling.mutation.disturb(provider, Drop(after_accepting=False))

        with pytest.raises(AmbiguousOutcome):
            client.delete_subscription("AAAA")

        assert len(provider.requests) == 1

    def test_a_listing_of_many_pages_is_whole_and_an_endless_one_is_drift(
        self, provider: Any, client: Any
    ) -> None:
        """A next page that was there before would be asked for for ever."""
        key = self.subject.receiving.secret
        made = [client.create_subscription(f"{CALLBACK}/{n}", signing_key=key) for n in range(5)]
        provider.list_in_pages_of(2)

        assert list(client.list_subscriptions()) == made
        provider.list_in_pages_of(2, endless=True)
        with pytest.raises(ContractDrift):
            client.list_subscriptions()
