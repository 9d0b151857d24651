"""What the tests of a training share: small settings, and a way to change them."""

from lib.settings import Settings

SETTINGS = Settings.model_validate({
    "frontend": {"segment_seconds": 0.5, "mels": 16, "hop": 512},
    "training": {"epochs": 4, "batch": 8, "learning_rate": 1e-3, "precision": "fp32", "checkpoint_epochs": 4},
    "joint": {"epochs": 4},
    "flow": {"steps": 2},
})  # fmt: skip


def changed(**groups):
    """`SETTINGS` with some fields of some groups changed: `changed(training={"epochs": 1})`."""
    return SETTINGS.model_copy(
        update={name: getattr(SETTINGS, name).model_copy(update=fields) for name, fields in groups.items()}
    )
