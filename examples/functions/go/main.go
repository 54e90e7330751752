// A function in Go: greets, counts its visits, and logs them.
package main

import (
	"fmt"
	"os"

	"hello-go/wharf"
)

func init() {
	wharf.Handle(func(r wharf.Request) wharf.Response {
		greeting := os.Getenv("GREETING")
		if greeting == "" {
			greeting = "Hello"
		}
		visit, err := wharf.Increment("hello-go.visits", 1)
		if err != nil {
			return wharf.Text(500, err.Error())
		}
		wharf.Log(wharf.Info, "hello-go", fmt.Sprintf("visit %d, to %s", visit, r.Path))
		return wharf.Text(200, fmt.Sprintf("%s from Go! You are visitor %d.\n", greeting, visit))
	})
}

func main() {}
