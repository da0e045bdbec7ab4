"""What a person reads in the morning: the page and the table made from a scores folder."""

from ser_ray.reports.page import write_scores_page
from ser_ray.reports.scores import Summary, summarise
from ser_ray.reports.terminal import print_summary

__all__ = ["Summary", "print_summary", "summarise", "write_scores_page"]
