"""The SMTP server, and one conversation with it."""

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where mail is handed in, and as whom. `tls`: no word is said before the conversation is encrypted."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = True

    def __str__(self) -> str:
        return f"the mail server {self.host}:{self.port}"


def deliver(server: Server, message: EmailMessage, timeout: float | None) -> dict[str, str]:
    """Hand the message in; whom the server refused, with its words, while it took it for others.

    A silence of `timeout` seconds ends it. Raises what `smtplib` raises.
    """
    with smtplib.SMTP(server.host, server.port, timeout=timeout or 60.0) as smtp:
        if server.tls:
            smtp.starttls(context=ssl.create_default_context())
        if server.user and server.password:
            smtp.login(server.user, server.password)
        refused = smtp.send_message(message)
    return {address: words.decode(errors="replace") for address, (_, words) in refused.items()}
