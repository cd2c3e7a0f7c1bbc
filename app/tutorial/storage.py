"""Static files: hashed names once collected, plain names before."""

from whitenoise.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):
    """WhiteNoise's storage, which also works by hand before `collectstatic`."""

    def stored_name(self, name: str) -> str:
        """Return the hashed name, or `name` itself while there is no manifest."""
        return super().stored_name(name) if self.hashed_files else name
