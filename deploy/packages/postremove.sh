#!/bin/sh
# The state directory stays, as long as the package is not purged: it knows which files an interrupted run still has to delete.
set -e
if [ "$1" = purge ]; then
	rm -rf /var/lib/synupkeep
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
