"""`kind: mail`: one message to one or more people, over the SMTP server that the credential names."""

import asyncio
import smtplib
from email.message import EmailMessage
from hashlib import sha256
from typing import ClassVar

from pydantic import BaseModel, Field

from noetl_stream.errors import ToolError
from noetl_stream.ports.tools import Call, Done, Nature
from noetl_stream.tools.config import Config
from noetl_stream.tools.connecting import HOST, PASSWORD, PORT, USER, field_of, own_credential
from noetl_stream.tools.plugin import Plugin
from noetl_stream_mail.server import Server, deliver


class MailConfig(Config):
    """Unknown keys are errors, as in every tool: `Config` sees to that. Editors and documents show the descriptions."""

    to: str | list[str] = Field(min_length=1, description="one address, or several")
    subject: str = Field(description="the subject, one line")
    text: str = Field("", description="the body, plain text")
    sender: str | None = Field(None, description="whom it is from; by default the credential's user")


class Mail:
    """A write. The same effect has the same `Message-ID`, by which mail servers can tell a repeated message."""

    kind: ClassVar[str] = "mail"
    nature: ClassVar[Nature] = "write"
    config: ClassVar[type[BaseModel]] = MailConfig

    async def run(self, call: Call) -> Done:
        config: MailConfig = call.config
        server = server_of(call)
        message = message_of(config, config.sender or server.user or "noetl-stream", call.effect_key)
        try:
            refused = await asyncio.to_thread(deliver, server, message, call.timeout)
        except smtplib.SMTPAuthenticationError as error:
            raise ToolError(f"{server} refuses the user; check the credential", kind="auth") from error
        except smtplib.SMTPResponseException as error:
            raise ToolError(
                f"{server} answered {error.smtp_code}; see `error.code`",
                kind="server_error" if error.smtp_code < 500 else "client_error",
                retryable=error.smtp_code < 500,
                code=str(error.smtp_code),
            ) from error
        except smtplib.SMTPRecipientsRefused as error:
            raise ToolError(
                f"{server} takes mail for none of {', '.join(error.recipients)}", kind="client_error"
            ) from error
        except OSError as error:
            raise ToolError(
                f"{server} cannot be reached: {error}", kind="connection", retryable=True
            ) from error
        return Done(value={"message_id": message["Message-ID"], "refused": refused})

    async def close(self) -> None:
        """Nothing is held open between calls."""


def server_of(call: Call) -> Server:
    """The server of the task's credential. Nothing of it may stand in an error or a log line but host and port."""
    secret = own_credential(call, Mail.kind)
    host = field_of(secret, HOST)
    if host is None:
        raise ToolError(f"the credential '{secret.alias}' has no `host`", kind="credential")
    return Server(
        host=host,
        port=int(field_of(secret, PORT) or 587),
        user=field_of(secret, USER),
        password=field_of(secret, PASSWORD),
        tls=field_of(secret, ("tls",)) is not False,
    )


def message_of(config: MailConfig, sender: str, effect_key: str) -> EmailMessage:
    """The message as it is sent.

    Raises:
        ToolError: an address or the subject would break the message's head.
    """
    message = EmailMessage()
    try:
        message["From"], message["Subject"] = sender, config.subject
        message["To"] = [config.to] if isinstance(config.to, str) else config.to
    except ValueError as error:
        raise ToolError(f"the message cannot be addressed: {error}", kind="validation") from error
    message["Message-ID"] = f"<{sha256(effect_key.encode()).hexdigest()[:32]}@noetl-stream>"
    message.set_content(config.text)
    return message


mail = Plugin(
    tool=Mail,
    make=lambda _: Mail(),
    summary="Sends mail over SMTP.",
    aliases={"body": "text", "from": "sender"},
)
