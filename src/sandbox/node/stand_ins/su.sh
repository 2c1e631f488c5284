#!/bin/sh
# Stands in for su: whoever is in a member's container here is the servers' user already.
while [ $# -gt 0 ]; do
    case "$1" in -c) exec sh -c "$2" ;; esac
    shift
done
exec sh
