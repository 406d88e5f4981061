"""Reports, tables and figures: what was measured, beside the paper."""

__all__ = [
    "ablation",
    "figures",
    "html",
    "measurements",
    "mode",
    "outside_text",
    "paper",
    "results",
    "run_files",
    "run_report",
    "tables",
    "verification_store",
]
