#!/bin/sh
# Called with "remove" (deb) or 0 (rpm) when the package goes, and otherwise when a newer one takes its place: then the timer stays.
set -e
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now synupkeep.timer || true
		# A run under way finishes what it is at.
		systemctl stop synupkeep.service || true
	fi
	;;
esac
