"""What a training run leaves for people: report.html and the model card (README.md).

from train.run_report import write_pages

write_pages(folder, story)      # folder: data.folder.Folder, before it is sealed; story: train.run_story.RunStory
"""

from data.folder import Folder
from train.run_story import RunStory


def write_pages(folder: Folder, story: RunStory) -> None:
    """Write report.html and README.md into a run's folder, before it is sealed."""
