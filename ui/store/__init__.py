"""The console's one door to pqfs: questions in, frozen answers out. One module for each subject.

Questions change nothing. What somebody asks for is an undertaking, by the same verbs as on the command line. Nothing
raises: also *there is no index yet* and *the index can not be read* are answers, with a sentence for the person, so
that no page ever shows a stack trace.
"""
