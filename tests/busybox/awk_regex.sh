printf 'foo\nbar\nfoobar\n' > f
awk '$0 ~ "^foo"' f; awk '$1 !~ /foo/' f; awk '/^f/ && /r$/' f; awk '/foo|bar/{n++} END{print n}' f
awk 'BEGIN{r="o+"; if("foo" ~ r) print "m"; if ("a+b" ~ /a\+b/) print "lit"; if ("/" ~ /\//) print "slash"}'
awk 'BEGIN{if("ab" ~ /^[[:alpha:]]+$/) print "alpha"; if ("a.b" ~ "a\\.b") print "dyn"; print "abc" ~ /b/}'
awk 'BEGIN{print match("aaa", /a{2}/), RLENGTH}'
awk '/a/ || /x/' f
