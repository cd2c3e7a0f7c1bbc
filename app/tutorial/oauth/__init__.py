"""What django-oauth-toolkit lacks or has wrong, a module for each; they go when the toolkit has it."""
