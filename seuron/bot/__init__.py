"""The bot: the registry's commands in a chat, the same in Slack, in a terminal and in a notebook.

conversation.py    a message in, an answer out: parsing, permissions, the parameters kept for each user
message_parser.py  a message's text and files as words and parameters
permissions.py     who may do what, from a file
session_store.py   parameters that are kept for a user in a channel
subscriptions.py   the runs that the bot follows, for the bot that is started next
slack.py           Slack, in Socket Mode; slack_thread.py writes one answer
terminal.py        `seuron chat`
notebook.py        `seuron.chat("status")` in a cell
"""

from seuron.bot.conversation import Conversation, Message
from seuron.bot.message_parser import Attachment
from seuron.bot.permissions import Permissions, read_permissions

__all__ = ["Attachment", "Conversation", "Message", "Permissions", "read_permissions"]
