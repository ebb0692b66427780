"""A storm over a real stack on the user's own disk, and what became of every file in it.

    ground      the scratch folder: settings, handlers, spool, books
    books       what was sent, killed, asked, seen: lines in files outside the spool
    payload     what a payload says of itself, and how it is found again in an output
    trial       the handlers under torture (copied into the scratch folder)
    producers   bring files in every way that there is        }
    operators   hold, release, cancel, retry, fail, delete    }  processes of their own
    readers     take outputs away, and watch                  }
    plan        the acts of chaos, from a seed
    targets     the processes of this stack and of no other
    chaos       carries the plan out
    storm       starts all this, lets it run, lets it end by itself
    smalldisk   the same on a small disk that is full now and then
    account     reads books, tree and index when all is over
    verdict     what must be true, and what was not

The books are written by those who did it and are believed; the spool and its index are what is judged by them.
"""
