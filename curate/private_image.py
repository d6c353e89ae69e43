"""The image of a text in which private data is looked for: one byte for each character.

In it digits of every script, full-width letters and every kind of dash and space stand as their ASCII twins, and
what nobody can see is left out. So １３９…, 139\u200b… and 139-… are the same number.
"""

import unicodedata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_OTHER, PROVINCE, _MIDDLE_DOT, _UNMET, _UNSEEN = 0x80, 0x90, 0xB7, 0xFE, 0xFF  # bytes of the image beyond ASCII
_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"


def image_of(text: str) -> "tuple[bytes, Places | None]":
    """The image of a text, and for each of its bytes the character it stands for (None: the same number)."""
    if text.isascii():
        return text.encode(), None
    import numpy as np

    table = _table()
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    image = table.image[points]
    if (image == _UNMET).any():
        table.learn(points[image == _UNMET])
        image = table.image[points]
    unseen = image == _UNSEEN
    if not unseen.any():
        return image.tobytes(), None
    places = np.flatnonzero(~unseen)
    return image[places].tobytes(), places


class _Table:
    """Code point to byte of the image, filled as code points are met."""

    def __init__(self) -> None:
        import numpy as np

        self.image = np.full(0x110000, _UNMET, np.uint8)
        self.image[:128] = np.arange(128)

    def learn(self, points: Any) -> None:
        """Find out about the code points not met before."""
        import numpy as np

        for point in np.unique(points).tolist():
            self.image[point] = _byte(point)


_known: _Table | None = None


def _table() -> _Table:
    global _known
    _known = _known or _Table()
    return _known


def _byte(point: int) -> int:
    """The byte that stands for a code point beyond ASCII."""
    letter, category = chr(point), unicodedata.category(chr(point))
    if category == "Nd":
        return ord("0") + unicodedata.digit(letter)
    if 0xFF01 <= point <= 0xFF5E:
        return point - 0xFEE0
    if category == "Pd" or letter == "−":
        return ord("-")
    if category == "Zs":
        return ord(" ")
    if category == "Cf" or 0xFE00 <= point <= 0xFE0F or 0xE0100 <= point <= 0xE01EF:
        return _UNSEEN
    if letter in _PROVINCES:
        return PROVINCE
    return _MIDDLE_DOT if letter in "·•・‧" else _OTHER
