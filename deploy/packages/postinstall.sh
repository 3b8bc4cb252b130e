#!/bin/sh
# Nothing is started or enabled: what is to go has to be said first.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
