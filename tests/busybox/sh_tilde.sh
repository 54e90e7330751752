HOME=/home/me; echo ~ ~/x a~ "~"
x=~/y; echo $x
cd ~ 2>/dev/null || echo none
