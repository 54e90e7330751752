echo a \
  b
if true
then
  echo c
fi
for i in 1 \
  2
do echo $i
done
x=1 # comment
echo $x # another
# whole line
