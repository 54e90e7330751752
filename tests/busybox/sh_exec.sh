(exec echo replaced; echo never)
exec 4< /dev/null
exec 4<&-
exec echo last
echo never
