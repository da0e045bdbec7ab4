"""What a person reads in the morning: the page and the tables made from a scores folder."""

from ser_ray.reports.page import write_scores_page
from ser_ray.reports.scores import Summary, summarise
from ser_ray.reports.spreadsheet import write_spreadsheet
from ser_ray.reports.terminal import print_summary, summary_data

__all__ = ["Summary", "print_summary", "summarise", "summary_data", "write_scores_page", "write_spreadsheet"]
