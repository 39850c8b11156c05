"""Jobs on a Ray cluster.

A driver of Ray may be ended, process and all, when its cluster dies; so it is a process of its own:

    executor.py   the executor, in this program
    process.py    the driver's process as this program sees it: one connection on loopback for each request
    messages.py   what is said between the two
    driver.py     the process
    cluster.py    what it does with Ray
    worker/cluster.py   what runs on the cluster's nodes
"""
