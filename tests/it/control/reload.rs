//! A reload: on request, by a signal and where the process watches its files.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_changes_what_differs_and_nothing_where_anything_is_wrong() {
    let api = Api::new(None);
    let pipeline = two_files(&api);
    let folder = pipeline.folder();
    let write = |name: &str, text: &str| fs::write(folder.join(name), text).expect("it is written");
    let mut process = start_folder(&pipeline);
    for name in ["a", "b"] {
        in_state(&api, &mut process, name, &["idle"]).await;
    }
    let starts = |process: &Process, name: &str| {
        let text = format!("started pipeline=\"{name}\"");
        process.stderr().matches(&text).count()
    };
    assert_eq!(
        (starts(&process, "a"), starts(&process, "b")),
        (1, 1),
        "{}",
        process.stderr()
    );

    // One file is wrong: the other, which is right, does not change either.
    write("b.toml", &from_file("b").replace("table ", "tabel "));
    write("a.toml", &from_file("a2"));
    let refused = api.post("/v1/reload").expect("it answers");
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(
        refused.body.contains("tabel") && refused.body.contains("b.toml"),
        "{refused:?}"
    );
    let pipelines: view::Pipelines = api.get("/v1/pipelines").expect("it answers").read();
    let states: Vec<&str> = pipelines
        .pipelines
        .iter()
        .map(|one| one.state.as_str())
        .collect();
    assert_eq!(states, ["idle", "idle"]);
    assert_eq!(
        (starts(&process, "a"), starts(&process, "b")),
        (1, 1),
        "{}",
        process.stderr()
    );

    // It is right again: only `a` differs, and `c` is new.
    write("b.toml", &from_file("b"));
    write("c.toml", &from_file("c"));
    let reloaded = pipeline.command(&["reload", "--json"]).await;
    reloaded.expect_success();
    let reloaded: view::Reloaded = serde_json::from_str(&reloaded.stdout).expect("it is one");
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.to_owned())
            .collect::<Vec<_>>()
    };
    let expect = view::Reloaded {
        changed: names(&["a"]),
        added: names(&["c"]),
        unchanged: names(&["b"]),
        ..view::Reloaded::default()
    };
    assert_eq!(reloaded, expect);
    in_state(&api, &mut process, "c", &["idle"]).await;
    eventually("the other table of a", DEADLINE, async || {
        let there = folder.join("a2.db").is_file() && starts(&process, "a") == 2;
        if there { Ok(()) } else { Err(process.stderr()) }
    })
    .await;
    assert_eq!(starts(&process, "b"), 1);

    // SIGHUP does the same.
    fs::remove_file(folder.join("c.toml")).expect("it is there");
    process.hang_up();
    eventually("two pipelines", DEADLINE, async || {
        process.expect_running();
        let answer = api
            .get("/v1/pipelines/c")
            .map_err(|error| error.to_string())?;
        if answer.status == 404 {
            Ok(())
        } else {
            Err(answer.body)
        }
    })
    .await;
    assert_eq!((starts(&process, "a"), starts(&process, "b")), (2, 1));

    // So does a change of a file, where the process watches.
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
    let folder_name = folder.to_str().expect("UTF-8");
    let mut process = pipeline.start_command("watching", &["run", folder_name, "--watch"]);
    in_state(&api, &mut process, "b", &["idle"]).await;
    write("b.toml", &from_file("b2"));
    eventually("the other table of b", DEADLINE, async || {
        process.expect_running();
        let there = folder.join("b2.db").is_file() && starts(&process, "b") == 2;
        if there { Ok(()) } else { Err(process.stderr()) }
    })
    .await;
    assert_eq!(starts(&process, "a"), 1);
    process.terminate();
    pipeline.finish(process, DEADLINE).await.expect_success();
}
