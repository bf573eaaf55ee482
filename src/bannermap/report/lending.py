"""What jobs hand from this stage to others, which know it by its functions only."""

from bannermap.report.transforms import drawn

__all__ = ["drawn"]
