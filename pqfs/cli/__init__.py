import sys

from pqfs import settings as S
from pqfs import wiring
from pqfs.events import log_to_stderr
from pqfs.spool import Spool


def main():
    log_to_stderr(verbose="-v" in sys.argv)
    loaded = S.load()
    c = sys.argv[1]
    if c == "init":
        Spool.create(loaded.settings.spool)
    if c == "ingest":
        print(wiring.run_ingester(loaded, 3 if "--drain" in sys.argv else None))
    if c == "consume":
        print(wiring.run_consumer(loaded, until_empty="--drain" in sys.argv))
    if c == "janitor":
        wiring.run_janitor(loaded, "--once" in sys.argv)


if __name__ == "__main__":
    main()
