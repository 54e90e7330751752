trap 'echo t' USR1
kill -USR1 $$
trap - USR1
trap '' USR1
kill -USR1 $$
echo end
(trap 'echo sub' EXIT)
