"""What proofreaders are asked, in a queue, and what they answered, in an edit list."""
