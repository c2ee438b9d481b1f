echo "expected 12 berths, found 11"
exit 3
