trap 'echo term; exit 7' TERM
kill -TERM $$
echo after
