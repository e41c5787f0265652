// Renders conversations with a template as Ollama does: lines of JSON on standard input, one conversation each, become
// lines of JSON on standard output, of a prompt or of what went wrong.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"text/template"
	"time"
)

type message struct {
	Role, Content, Thinking, ToolName, ToolCallID string
	Images, ToolCalls                             []string
}

type rendering struct {
	Prompt string `json:"prompt"`
	Error  string `json:"error"`
}

var functions = template.FuncMap{
	"json": func(value any) string {
		text, _ := json.Marshal(value)
		return string(text)
	},
	"currentDate":      func(...string) string { return time.Now().Format(time.DateOnly) },
	"yesterdayDate":    func(...string) string { return time.Now().AddDate(0, 0, -1).Format(time.DateOnly) },
	"toTypeScriptType": func(any) string { return "any" },
}

// System messages are joined, and stay among the others; messages of one role in a row become one.
func collate(messages []*message) (string, []*message) {
	var system []string
	var collated []*message
	for _, each := range messages {
		if each.Role == "system" {
			system = append(system, each.Content)
		}
		if last := len(collated) - 1; last >= 0 && collated[last].Role == each.Role && each.Role != "tool" {
			collated[last].Content += "\n\n" + each.Content
		} else {
			collated = append(collated, each)
		}
	}
	return strings.Join(system, "\n\n"), collated
}

func render(parsed *template.Template, line []byte) (result rendering) {
	var messages []*message
	if err := json.Unmarshal(line, &messages); err != nil {
		return rendering{Error: err.Error()}
	}
	system, collated := collate(messages)
	var prompt strings.Builder
	values := map[string]any{
		"System": system, "Messages": collated, "Tools": []string(nil), "Response": "",
		"Think": false, "ThinkLevel": "", "IsThinkSet": false,
	}
	if err := parsed.Execute(&prompt, values); err != nil {
		return rendering{Error: err.Error()}
	}
	return rendering{Prompt: prompt.String()}
}

func main() {
	source, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("").Option("missingkey=zero").Funcs(functions).Parse(string(source)))
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		if err := answers.Encode(render(parsed, lines.Bytes())); err != nil {
			panic(err)
		}
	}
}
