"""Where the instance runs that a command is about."""

from bus.rundir import RunDir, default_run_dir


def existing_run_dir() -> RunDir:
    """The run directory of the instance. Raises FileNotFoundError where there is none: a command never makes one."""
    path = default_run_dir()
    if not path.is_dir():
        raise FileNotFoundError(
            f"the run directory {path} does not exist, so nothing runs there: start moonbus, "
            "or set MOONBUS_DATA or MOONBUS_RUN as the running instance has it"
        )
    return RunDir(path)
