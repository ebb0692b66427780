"""The REST API: what other programs and other hosts use. Needs the extra `api`.

access       who is asking, and what he may
problems     every error as problem+json, by one table
uploads      bodies, staged while they arrive
desk         the one door to the verbs: blocking, one lock, never on the event loop
work         the routes of producers and consumers;  resources: what there is to see, under /v1
application  all of it put together;  serving: as a process
"""
