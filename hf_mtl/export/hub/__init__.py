"""To the Hub: a saved suite as one repository, or as one per task.

>>> from hf_mtl.export.hub import LAYOUTS, repo_name
>>> LAYOUTS
('folders', 'repositories')
>>> repo_name("my runs (new)")
'my-runs-new'
"""

from hf_mtl.export.hub.checks import check_account, check_places
from hf_mtl.export.hub.client import Hub, RepoState
from hf_mtl.export.hub.dry_run import DryRun, PlannedFile, PlannedRepo, dry_run
from hf_mtl.export.hub.files import UploadFile, card_files
from hf_mtl.export.hub.plan import LAYOUTS, Layout, Place, PushPlan, plan_push
from hf_mtl.export.hub.push import Pushed, Upload, push_suite, upload_plan
from hf_mtl.export.hub.upload import Change, PushedRepo, bring_up_to_date, folder_change
from hf_mtl.files import repo_name

__all__ = [
    "LAYOUTS",
    "Change",
    "DryRun",
    "Hub",
    "Layout",
    "Place",
    "PlannedFile",
    "PlannedRepo",
    "PushPlan",
    "Pushed",
    "PushedRepo",
    "RepoState",
    "Upload",
    "UploadFile",
    "bring_up_to_date",
    "card_files",
    "check_account",
    "check_places",
    "dry_run",
    "folder_change",
    "plan_push",
    "push_suite",
    "repo_name",
    "upload_plan",
]
