//! Sessions for people: Markdown, and a page of HTML that needs nothing else.

use sessile_core::Session;
use sessile_core::export::iso_utc;

use super::{Block, Lost, Said, Speaker, Turn, Written, mangled, plain, turns};

/// Longer results are folded on a page.
const OPEN_LINES: usize = 12;

/// Writes a session as Markdown.
pub fn markdown(session: &Session, said: &[Said]) -> Written {
    let mut lost = Lost::new();
    let made = turns(said, &mut lost);
    let mut text = format!("# {}\n\n", title(session));
    for (name, value) in facts(session) {
        text.push_str(&format!("- {name}: {value}\n"));
    }
    for turn in &made {
        text.push_str(&format!("\n## {} ({})\n", speaker(turn), iso_utc(turn.at)));
        for block in &turn.blocks {
            text.push('\n');
            match block {
                Block::Text(body) => text.push_str(&plain(body)),
                Block::Thinking { text: body, .. } => {
                    let body = plain(body);
                    let lines: Vec<String> = body.lines().map(|line| format!("> {line}")).collect();
                    text.push_str(&lines.join("\n"));
                }
                Block::Call { name, arguments, .. } => {
                    let arguments =
                        if arguments.starts_with('"') { plain(arguments) } else { arguments.clone() };
                    text.push_str(&format!("**{}**\n\n{}", plain(name), fenced(&arguments)));
                }
                Block::Result { text: body, is_error, images, .. } => {
                    let mark = if *is_error { "Failed:\n\n" } else { "" };
                    text.push_str(&format!("{mark}{}", fenced(&plain(body))));
                    images
                        .iter()
                        .for_each(|(media, data)| text.push_str(&format!("\n\n{}", image(media, data))));
                }
                Block::Image(media, data) => text.push_str(&image(media, data)),
            }
            text.push('\n');
        }
    }
    Written { path: format!("{}.md", mangled(&session.id)), text, kept: 0, made: made.len() as u64, lost }
}

/// Writes a session as a page of HTML: styles and images are in it, and no program.
pub fn html(session: &Session, said: &[Said]) -> Written {
    let mut lost = Lost::new();
    let made = turns(said, &mut lost);
    let title = escaped(&title(session));
    let mut text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n<dl>\n"
    );
    for (name, value) in facts(session) {
        text.push_str(&format!("<dt>{name}</dt><dd>{}</dd>\n", escaped(&value)));
    }
    text.push_str("</dl>\n");
    for turn in &made {
        let class = match turn.speaker {
            Speaker::User => "user",
            Speaker::Assistant => "assistant",
            Speaker::Tool => "tool",
            Speaker::Summary => "summary",
        };
        text.push_str(&format!(
            "<section class=\"{class}\">\n<h2>{} <time>{}</time></h2>\n",
            speaker(turn),
            iso_utc(turn.at)
        ));
        turn.blocks.iter().for_each(|block| html_block(block, &mut text));
        text.push_str("</section>\n");
    }
    text.push_str("</body>\n</html>\n");
    Written { path: format!("{}.html", mangled(&session.id)), text, kept: 0, made: made.len() as u64, lost }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}\
h2{font-size:.9rem;margin:.2rem 0}time{font-weight:400;color:#666}section{border-left:4px solid #999;padding:.1rem 1rem;margin:1rem 0}\
.user{border-color:#2a7}.assistant{border-color:#27c}.tool{border-color:#a4a}.summary{border-color:#c82}\
p,pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.4rem 0}pre{background:#f4f4f4;padding:.5rem;font-size:.85rem}\
.thinking{color:#666;font-style:italic}.failed{border:1px solid #c33}img{max-width:100%}dl{color:#666;font-size:.9rem}dt{float:left;margin-right:.5rem}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#242424}}";

fn html_block(block: &Block, text: &mut String) {
    match block {
        Block::Text(body) => text.push_str(&format!("<p>{}</p>\n", escaped(&plain(body)))),
        Block::Thinking { text: body, .. } => {
            text.push_str(&format!("<p class=\"thinking\">{}</p>\n", escaped(&plain(body))));
        }
        Block::Call { name, arguments, .. } => {
            let arguments = if arguments.starts_with('"') { plain(arguments) } else { arguments.clone() };
            text.push_str(&format!(
                "<p><b>{}</b></p>\n<pre>{}</pre>\n",
                escaped(&plain(name)),
                escaped(&arguments)
            ));
        }
        Block::Result { text: body, is_error, images, .. } => {
            let body = plain(body);
            let class = if *is_error { " class=\"failed\"" } else { "" };
            let lines = body.lines().count();
            let open = if lines <= OPEN_LINES { " open" } else { "" };
            text.push_str(&format!(
                "<details{open}><summary>{lines} line{}</summary><pre{class}>{}</pre></details>\n",
                if lines == 1 { "" } else { "s" },
                escaped(&body)
            ));
            images.iter().for_each(|(media, data)| html_image(media, data, text));
        }
        Block::Image(media, data) => html_image(media, data, text),
    }
}

fn html_image(media: &str, data: &str, text: &mut String) {
    text.push_str(&format!(
        "<img alt=\"\" src=\"data:{};base64,{}\">\n",
        escaped(&plain(media)),
        escaped(&plain(data))
    ));
}

fn image(media: &str, data: &str) -> String {
    format!("![image](data:{};base64,{})", plain(media), plain(data))
}

fn title(session: &Session) -> String {
    let title = session.facts.title.clone().unwrap_or_else(|| session.id.clone());
    title.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn facts(session: &Session) -> Vec<(&'static str, String)> {
    let facts = &session.facts;
    let mut all = vec![("Session", session.id.clone()), ("Begun", iso_utc(facts.created))];
    all.extend((!facts.scope.is_empty()).then(|| ("Directory", facts.scope.clone())));
    all.extend(facts.agent.clone().map(|agent| ("Agent", agent)));
    all.extend(facts.model.clone().map(|model| ("Model", model)));
    all
}

fn speaker(turn: &Turn) -> &'static str {
    match turn.speaker {
        Speaker::User => "User",
        Speaker::Assistant => "Assistant",
        Speaker::Tool => "Tool",
        Speaker::Summary => "Summary of what was before",
    }
}

/// A block of code with a fence that is longer than any in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}", text.trim_end_matches('\n'))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_everything_and_runs_nothing() {
        let (mut session, said) = super::super::tests::sample();
        session.facts.title = Some("<script>alert(1)</script>".into());
        let page = html(&session, &said).text;
        assert!(!page.contains("<script>") && page.contains("default-src 'none'"));
        for kept in ["look", "data:image/png;base64,QUJD", "bash", "a\nb", "done"] {
            assert!(page.contains(kept), "{kept}");
        }
    }

    #[test]
    fn a_fence_is_longer_than_those_in_the_text() {
        assert_eq!(fenced("a ```` b"), "`````\na ```` b\n`````");
        let (session, said) = super::super::tests::sample();
        let text = markdown(&session, &said).text;
        assert!(
            text.starts_with("# A title\n") && text.contains("\n> hm\n") && text.contains("```\na\nb\n```")
        );
    }
}
