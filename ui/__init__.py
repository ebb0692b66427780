"""The console: a page in the browser that shows the index and the spool side by side.

app.py only navigates. A view composes parts and asks the store; a part draws one thing; store.py is the only
file here that imports pqfs.
"""
