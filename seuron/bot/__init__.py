"""The bot: the registry's commands in a chat, the same in Slack, in a terminal and in a notebook.

conversation.py   a message in, answers out: what is said, who may, what is kept for whom
saying.py         a message's text and files as words and parameters
permissions.py    who may do what, from a file
sessions.py       parameters that are kept for a user in a channel
slack.py          Slack, in Socket Mode; slack_text.py and slack_thread.py are what it writes with
terminal.py       `seuron chat`
notebook.py       `seuron.chat("status")` in a cell
"""

from seuron.bot.conversation import Conversation, Message
from seuron.bot.permissions import Permissions, read_permissions
from seuron.bot.saying import Attachment

__all__ = ["Attachment", "Conversation", "Message", "Permissions", "read_permissions"]
